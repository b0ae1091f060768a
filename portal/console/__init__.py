"""Every page people see: views, forms and routes; one file a room."""
