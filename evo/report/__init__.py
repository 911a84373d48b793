"""What people see of a study: records, tables and progress, all made from its events."""
