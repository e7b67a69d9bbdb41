"""What runs of one's own teach: results of load testers and logs of engines, read and taken into the calibrations."""
