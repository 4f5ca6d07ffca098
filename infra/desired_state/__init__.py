"""What a Railway service shall be, as files that people review: read, checked, written.

railwaytoml          railway.toml as types, and what becomes of each key; its keys as data in railwaytoml_schema
railway_iac          the same as Railway's infrastructure as code
rendering            templates, and that what they give reads back as what was meant
"""
