"""The registry's server: a thin Litestar application, `api ► core ► domain ◄ infrastructure`."""
