// Package boundedyaml parses the YAML of recipes, sweeps, policies and --set without trust. The
// parser is a third party's; it recurses, and Go cannot recover from a stack overflow. So
// the text is looked at first, as tokens:
//
//	bounded.Text, at most MaxBytes
//	tokens: brackets, block lists and mappings, anchors and tags nest ≤ bounded.MaxNesting
//	parse, under recover (Protect), as must be what decodes
//	nodes, an alias counted as all that it stands for ≤ maxNodes; no alias within its anchor
package boundedyaml
