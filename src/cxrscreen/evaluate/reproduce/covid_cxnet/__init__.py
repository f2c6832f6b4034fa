"""The tables of the COVID-CXNet paper (Haghanifar, Molahasani Majdabadi, Ko, 2020), trained and measured again."""
