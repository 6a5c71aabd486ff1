"""The machine: processes, private files, SQLite, tasks, paths and time. Nothing here is about CLOVA."""
