"""The SQL store: PostgreSQL and SQLite through SQLAlchemy Core."""
