"""What is shown: tables and progress, made from records only."""
