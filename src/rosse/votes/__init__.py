"""What people see in galaxies: decision trees and the votes of volunteers."""
