"""3D models seen by cameras around them: read (`read`), looked at (`cameras`, `render`), kept (`cache`)."""
