"""What the engines that run nodes in containers have in common."""
