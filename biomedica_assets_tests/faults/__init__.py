"""What breaks from outside: killed processes, full and failing disks, refused folders, hostile files."""
