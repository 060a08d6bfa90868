"""Every AnnData key the program reads or writes, once."""

# obs
BATCH = "batch"
DATASET = "dataset"
CELLTYPE = "celltype"
CELLTYPE_SOURCES = ("celltype", "cluster_names", "cluster")
SPLIT = "split"
FOR_MMD = "for_mmd"
N_GENES = "n_genes"
N_COUNTS = "n_counts"

# values of obs["split"]
TRAIN = "train"
VALID = "valid"
TEST = "test"

# var
N_CELLS = "n_cells"
MEAN_SCALING = "mean_scaling"
VAR_SCALING = "var_scaling"  # holds a standard deviation; the published name stays
PCA_GENES = "pca_genes"

# varm, obsm
PCS = "PCs"
MEASURED = "measured"  # a table of genes by data sets; data sets that measured all genes have no column
LATENT = "X_DISCERN"
LATENT_LOG_STD = "X_DISCERN_sigma"

# layers
COUNTS = "counts"
ESTIMATED_COUNTS = "estimated_counts"
ESTIMATED_DROPOUTS = "estimated_dropouts"
POSTERIOR_COUNTS = "posterior_counts"

# uns
DISCERN = "DISCERN"
FIXED_SCALING = "fixed_scaling"
CELLS_ELSEWHERE = "cells_elsewhere"  # in uns["DISCERN"]: of a reference that was shared without its cells
RUN_SUMMARY = "discern"
