"""Types of requests and answers, one module per resource. Requests must not have unknown fields; answers may."""
