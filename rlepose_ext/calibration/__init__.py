"""Whether the uncertainty of joints is true, and what makes it true. numpy alone, no model."""
