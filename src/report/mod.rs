//! Pictures and pages of a run: grids, curves, scatter plots, HTML, `.npy`.
