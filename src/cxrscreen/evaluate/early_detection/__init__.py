"""How long before the laboratory's confirmation a system called a case: lead times, and the figure of one line a case.

After Yeh et al. 2020, Fig. 4: the days of the radiographs, of the symptom onset and of the RT-PCR confirmation, with
the first radiograph that was called positive. Lead times are of ill people alone and say nothing of false calls, so a
system that calls everybody would lead by most: every summary sets the false calls beside them.
"""
