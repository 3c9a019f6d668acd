"""The tables of the engine's database.  Importing :mod:`obsvc.engine.schema.all` registers every one."""
