"""The guide: a tiny model that knows one subject, this product, and how it is made."""
