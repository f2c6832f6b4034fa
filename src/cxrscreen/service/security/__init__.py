"""Who may do what, and what was done: accounts, sessions, tokens, single sign-on, the audit log, de-identification.

======================  ===============================================================================================
``passwords``           Argon2, and which passwords are taken
``keys``                random keys, of which only digests are kept
``accounts``            accounts and their roles; ``first_admin``, ``console``: where the first one comes from
``sessions``            browsers that are signed in: their cookies
``tokens``              keys for programs
``sign_in``             a name and a password -> a session; ``attempts``: limits on guessing
``single_sign_on``      an ``identity_provider`` (OpenID Connect) -> a session
``recognise``           the authenticators that ``access`` asks: token, cookie; what protects from forged requests
``refusals``            what a role does not allow, written down
``headers``             what browsers are told not to do; bounds on what a request holds before its body
``audit_log``           reading, checking and exporting the audit log (``store.audit`` writes it)
``deidentify``          DICOM PS3.15 on arrival, with pseudonyms by a secret key; ``plain_picture``: of pictures
======================  ===============================================================================================
"""
