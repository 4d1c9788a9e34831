"""How it is wired: topics, tables, the app, the client, the command line."""
