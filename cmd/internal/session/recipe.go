package session

import (
	"strings"

	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/train/recipe"
)

// ResolveRecipe overrides fields of a recipe, its data where data is not "" (or adds to it,
// where that is parameters alone, "?train=A"), and fills in what it leaves open from this machine, for a process that may use the cores given.
func ResolveRecipe(r *recipe.Recipe, data string, set []string, have cores.Cores) error {
	if err := r.Set(set...); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(data, "?"):
		var err error
		if r.Data, err = ingest.WithParameters(r.Data, data); err != nil {
			return err
		}
	case data != "":
		r.Data = data
	}
	return r.Resolve(pipeline.Host(have, r.Data))
}
