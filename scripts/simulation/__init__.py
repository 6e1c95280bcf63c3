"""The service on virtual time: processes, what befalls them, and the law that is held over them."""
