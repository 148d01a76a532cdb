"""The API and the web page of an instance, given what they show; they serve no traffic of clients."""
