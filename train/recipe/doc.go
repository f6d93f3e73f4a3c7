// Package recipe holds the hyper-parameters of a run and their defaults; no other
// package has any. A recipe is a YAML file that makes one claim and names its hardware
// and source. The project's recipes are embedded; a user writes a file with the same
// keys, or overrides single keys:
//
//	r, err := recipe.Load("cifar10")         // embedded, or a path ending in .yaml
//	err = r.Set("tau_t=0.05", "epochs=20")   // --set, in order
//	err = r.Resolve(recipe.Host{Threads: 2}) // fills what depends on other fields, and validates
//	r.YAML()                                 // the resolved recipe: printed at start, kept with the result
//
// A file may begin with extends: NAME, an embedded recipe or a file in the same folder,
// and list only what differs. The extended recipe must not extend another, so that two
// files show every value; name, claim, source, hardware and measured are not inherited.
//
// Keys use the paper's symbols where there are any: tau_s, tau_t (equations 3, 4), m
// (equation 6), K (size of the queue). An unknown key or impossible value is an error
// that gives the reason and, for a key, the nearest one.
//
// # Sweeps
//
// A sweep is a table of runs: rows × columns of overrides over one or more recipes,
// with the paper's figures for comparison. The paper's Tables 1 to 6 are such files,
// embedded like the recipes:
//
//	name: table3
//	claim: InfoNCE warm-up helps on CIFAR-100       # claim, source, hardware, measured as in a recipe
//	source: Table 3
//	metric: linear                     # of paper's figures: linear (default) or knn, top-1 in percent
//	recipe: cifar10                    # of cells whose row and column name none
//	set: [epochs=200]                  # overrides of every cell, as for --set
//	seeds: [1, 2, 3]                   # a run of each cell for each seed; default: the recipe's own seed
//	rows:                              # an axis: points with a name and overrides …
//	  title: data set
//	  points:
//	    - {name: CIFAR-10, recipe: cifar10}
//	    - {name: CIFAR-100, recipe: cifar100, set: [tau_t=0.03]}
//	columns:                           # … or the values of one key
//	  key: infonce_warmup_epochs
//	  values: ["0", "10"]
//	paper:                             # rows × columns, null if the paper reports none
//	  - [90.76, 89.98]
//	  - [65.03, null]
//
// Cells with the same batches, because they differ only in τ, K, m, the network and the
// like, share one stream of batches. Their run specs show which cells these are.
package recipe
