"""Files that an earlier state of the package has saved, and the script that saved them."""
