"""`peerage`, the employee's command line. Without Django; keys are made here."""
