"""A PandA as an ophyd-async device, without an IOC."""
