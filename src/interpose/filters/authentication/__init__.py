"""Who a client is: passwords, tokens, a service that is asked, a function of yours."""
