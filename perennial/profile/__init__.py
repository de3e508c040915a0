"""
Profiles: one mergeable summary per batch, from which every drift decision is made.

See perennial.profile.model for what a profile holds, docs/data.md for the stored format.
"""

from perennial.profile.build import ProfileBuilder, arrow_type, profile_table
from perennial.profile.categories import CategoryCounts
from perennial.profile.columns import ColumnProfile, TextSummary
from perennial.profile.fit import fit_grid, fit_grids
from perennial.profile.histogram import Histogram, rebin, shared_bins
from perennial.profile.model import Profile, merge
from perennial.profile.moments import Moments
from perennial.profile.reservoir import Reservoir

__all__ = [
    "CategoryCounts",
    "ColumnProfile",
    "Histogram",
    "Moments",
    "Profile",
    "ProfileBuilder",
    "Reservoir",
    "TextSummary",
    "arrow_type",
    "fit_grid",
    "fit_grids",
    "merge",
    "profile_table",
    "rebin",
    "shared_bins",
]
