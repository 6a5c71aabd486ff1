"""The machine: processes, private files, SQLite, tasks, paths and time. Knows no CLOVA."""
