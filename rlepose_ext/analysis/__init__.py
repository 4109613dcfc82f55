"""Reading what runs leave behind."""
