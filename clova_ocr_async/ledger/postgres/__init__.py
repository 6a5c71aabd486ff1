"""The store in a PostgreSQL database: several runs, for the processes of any number of machines."""
