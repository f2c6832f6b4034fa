"""Who may do what, and what was done: accounts, sessions, tokens, single sign-on, the audit log, de-identification.

======================  ================================================================================================
``passwords``           Argon2, and which passwords are taken
``keys``                random keys, of which only digests are kept
``accounts``            accounts and their roles
``sessions``            browsers that are signed in; their cookie and the token against forged requests
``tokens``              keys for programs
``sign_in``             a name and a password -> a session, with limits on guessing (``attempts``)
``single_sign_on``      an identity provider (OpenID Connect) -> a session
``recognise``           the authenticators that ``access`` asks: token, cookie
``headers``             what browsers are told not to do; bounds on what a request holds before its body
``audit_log``           reading, checking and exporting the audit log
``deidentify``          DICOM PS3.15 on arrival, with pseudonyms by a secret key
======================  ================================================================================================
"""
