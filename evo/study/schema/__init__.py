"""A JSON Schema of study files, with which editors complete and check them; see `evo.study.schema.document`."""
