"""Archives, scored offline: interrupted at will, and the same in the end."""
