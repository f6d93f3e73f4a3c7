package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"resslt/augment"
	"resslt/cmd/internal/runbook"
	"resslt/ingest"
	"resslt/train/backbone"
	"resslt/train/recipe"
)

// What a shell completes for a flag or an argument is found here by its name, or by that of its
// verb where it means something else there: "runs --filter". A flag with cli.Choices needs no
// line. TestEveryFlagCompletes finds a new flag that has neither.

// completion gives what somebody may be about to type, of what is typed so far.
type completion func(typed string) []string

// Values that flags and recipe keys have in common.
var (
	policies = orFiles(augment.Presets, ".yaml", ".yml")
	orders   = words("global", "blocked", "blocked:shards=8,window=16384")
	devices  = words("cpu", "cuda", "cuda:0")
)

// flagValues are the values of flags; nil is text that nobody can guess.
var flagValues = map[string]completion{
	// What is trained, and on what.
	"recipe": recipes, "sweep --file": orFiles(recipe.SweepNames, ".yaml", ".yml"),
	"data": uris, "split": words(ingest.Splits()...), "val-split": words(ingest.Splits()...), "eval-split": words(ingest.Splits()...),
	"set": settings, "grid": settings,
	"policy": policies, "engine": engines, "order": orders,
	"device": devices,
	"record": words("log", "pixels", "pixels:", "stream"), "inspect --record": orRuns("stream:"),
	"replay": recordings,

	// Where it lies.
	"checkpoint": orRuns(), "report --out": orRuns(),
	"init": orRuns(), "neighbours": files, "paper --runs": folders, "track": words("wandb", "wandb:", "mlflow", "mlflow:http"), "web": words(":0", "127.0.0.1:"),
	"out": files, "features": files, "eval-features": files, "list": files, "manifest": files,
	"cache-dir": folders, "cache": folders, "dir": folders, "keep-cache": words("0", "10GB", "100GB"),
	"run --out": folders, "train --out": folders, "sweep --out": folders, "shards pack --out": folders, "shards unpack --out": folders, "record export --out": folders,

	// The broker, and secrets.
	"nats": words("nats://", "tls://"), "creds": files, "nkey": files, "token-file": files, "tls-ca": files, "tls-cert": files, "tls-key": files,
	"listen-token-file": files, "listen-cert": files, "listen-key": files, "serve --listen": words("unix:", "tcp:127.0.0.1:", "tls:"),

	// Words of which some are usual.
	"older": words("1d", "7d", "30d", "90d"), "runs --filter": filters,
	"cache-bytes": words("0", "32GB", "200GB"), "max-shm": words("0", "1G", "4G"), "shard-size": words("64MB", "256MB", "1GB"),

	"at": nil, "costs": nil, "host": nil, "k": nil, "listen": nil, "mean": nil, "metrics": nil, "only": nil, "prefix": nil, "query": nil, "reader": nil,
	"run": nil, "std": nil, "steps": nil, "student-sizes": nil, "tag": nil, "tenant": nil, "text": nil, "token": nil, "trainer": nil, "untag": nil,
}

// arguments are those of verbs, by their names.
var arguments = map[string]completion{
	"recipe show": recipes, "recipe check": recipes,
	"runs": orRuns(), "runs note": orRuns(), "compare": orRuns(), "gc": folders,
	"record ls": orRuns(), "record export": orRuns(), "record import": orRuns(), "record verify": orRuns(),
	"convert": files, "completion": words(shells...),
}

// completeAll has shells complete flags and arguments.
func completeAll(root *cobra.Command) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		_, verb, _ := strings.Cut(c.CommandPath(), " ")
		if of, known := arguments[verb]; known {
			c.ValidArgsFunction = of.ofShell
		} else if c.ValidArgsFunction == nil && !c.HasSubCommands() {
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
		add := func(f *pflag.Flag) {
			if of, known := valuesOf(verb, f.Name); known {
				_ = c.RegisterFlagCompletionFunc(f.Name, of.ofShell) // it fails for a flag that has one
			}
		}
		c.LocalNonPersistentFlags().VisitAll(add)
		c.PersistentFlags().VisitAll(add)
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
}

// valuesOf are the values of a verb's flag.
func valuesOf(verb, flag string) (completion, bool) {
	if of, known := flagValues[verb+" --"+flag]; known {
		return of, true
	}
	of, known := flagValues[flag]
	return of, known
}

// ofShell is the completion as cobra asks for it: no space follows what is not whole yet.
func (of completion) ofShell(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if of == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	out, directive := of(typed), cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder
	if slices.ContainsFunc(out, func(s string) bool {
		word, _, _ := strings.Cut(s, "\t")
		return strings.HasPrefix(word, typed) && strings.ContainsRune("/:=", rune(word[len(word)-1]))
	}) {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return out, directive
}

// words are the same whatever is typed.
func words(list ...string) completion { return func(string) []string { return list } }

// orFiles are names, or files with these endings.
func orFiles(names func() []string, ends ...string) completion {
	return func(typed string) []string { return append(names(), paths(typed, ends...)...) }
}

func recipes(typed string) []string { return orFiles(recipe.Names, ".yaml", ".yml")(typed) }

func files(typed string) []string { return paths(typed, "") }

func folders(typed string) []string { return paths(typed) }

// mostPaths bounds the entries of a folder that are completed.
const mostPaths = 2000

// paths are the folders that begin so, and the files with these endings.
func paths(typed string, ends ...string) (out []string) {
	dir, base := filepath.Split(typed)
	entries, err := os.ReadDir(filepath.Join(".", dir))
	if filepath.IsAbs(dir) {
		entries, err = os.ReadDir(dir)
	}
	if err != nil {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || name[0] == '.' && base == "" {
			continue
		}
		at := e.Type()
		if at&fs.ModeSymlink != 0 {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
				at = info.Mode().Type()
			}
		}
		switch {
		case at.IsDir():
			out = append(out, dir+name+"/")
		case slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(name, end) }):
			out = append(out, dir+name)
		}
		if len(out) == mostPaths {
			break
		}
	}
	return out
}

// orRuns are the runs in the folder where runs are made, and what else is there.
func orRuns(more ...string) completion {
	return func(typed string) []string {
		out := slices.Clone(more)
		if found, err := runbook.Folders("runs"); err == nil {
			for _, f := range found {
				if f.Run {
					out = append(out, f.Path)
				}
			}
		}
		for _, p := range files(typed) {
			if !slices.Contains(out, strings.TrimSuffix(p, "/")) {
				out = append(out, p)
			}
		}
		return out
	}
}

// recordings are what --replay takes.
func recordings(typed string) []string {
	for _, kind := range []string{"pixels:", "log:"} {
		if rest, ok := strings.CutPrefix(typed, kind); ok {
			return prefixed(kind, orRuns()(rest))
		}
	}
	return append([]string{"pixels:", "log:", "stream:"}, orRuns()(typed)...)
}

func prefixed(prefix string, words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = prefix + w
	}
	return out
}

// uris are the schemes of data, each with a word on it, then files.
func uris(typed string) (out []string) {
	if scheme, place, ok := strings.Cut(typed, ":"); ok {
		return prefixed(scheme+":", files(place))
	}
	for _, s := range ingest.Schemes() {
		out = append(out, s.Name+":\t"+s.Text)
	}
	return out
}

func engines(string) []string {
	out := augment.EngineNames()
	for _, n := range augment.EngineNames() {
		if family, _, _ := strings.Cut(n, "/"); !slices.Contains(out, family) {
			out = append(out, family)
		}
	}
	return out
}

func filters(string) []string {
	return prefixed("", suffixed(slices.Sorted(maps.Keys(runFilters)), "="))
}

func suffixed(words []string, suffix string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w + suffix
	}
	return out
}

// settings are recipe keys, and the values of those that take words of a list: after a comma
// another, for a sweep's grid.
func settings(typed string) []string {
	key, value, ok := strings.Cut(typed, "=")
	if !ok {
		return suffixed(recipe.Keys(), "=")
	}
	before := value[:strings.LastIndexByte(value, ',')+1]
	return prefixed(key+"="+before, valuesOfKey(key, strings.TrimPrefix(value, before)))
}

func valuesOfKey(key, typed string) []string {
	switch key {
	case "backbone", "teacher_backbone":
		return backbone.Names()
	case "policy":
		return policies(typed)
	case "engine":
		return engines(typed)
	case "split", "probe_split", "eval_split":
		return ingest.Splits()
	case "order":
		return orders(typed)
	case "device":
		return devices(typed)
	case "data":
		return uris(typed)
	case "teacher":
		return files(typed)
	}
	return recipe.Choices(key)
}
