package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/ingest"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
	"resslt/train/backbone"
	"resslt/train/recipe"
)

// completing is the program as a shell asks it.
func completing() *cobra.Command {
	root := newRootCommand()
	completeAll(root)
	cli.Prepare(root)
	cli.CompleteChoices(root)
	return root
}

// completed are the words that a shell is told for a command line, whose last word is being
// typed, and what cobra says of them.
func completed(t *testing.T, line string) (words []string, directive string) {
	t.Helper()
	root := completing()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(new(bytes.Buffer))
	root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, strings.Split(line, " ")...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(line, err)
	}
	words = strings.Split(strings.TrimSpace(out.String()), "\n")
	return words[:len(words)-1], words[len(words)-1]
}

// Every flag of every verb is of a kind that the shell completes, or one that it says of that nobody
// can: a new one is not forgotten.
func TestEveryFlagCompletes(t *testing.T) {
	root := completing()
	used := map[string]bool{}
	checked := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		_, verb, _ := strings.Cut(c.CommandPath(), " ")
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			checked++
			used[verb+" --"+f.Name], used[f.Name] = true, true
			kind := f.Value.Type()
			number := kind == "bool" || kind == "duration" || strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "uint") || strings.HasPrefix(kind, "float")
			if _, has := c.GetFlagCompletionFunc(f.Name); !has && !number && !f.Hidden {
				t.Errorf("%s --%s (%s) is not completed: give it cli.Choices, or a line in flagValues", c.CommandPath(), f.Name, kind)
			}
		})
		if args := arguments[verb]; args != nil {
			used["args "+verb] = true
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	for name := range flagValues {
		if !used[name] {
			t.Errorf("no verb has the flag %q of flagValues", name)
		}
	}
	for verb := range arguments {
		if !used["args "+verb] {
			t.Errorf("there is no verb %q of arguments", verb)
		}
	}
	if checked < 250 {
		t.Errorf("%d flags were checked", checked)
	}
}

// A flag that takes words of a list completes each of them, and answers a slip with the one that was
// meant; so do keys of --set.
func TestChoices(t *testing.T) {
	root := completing()
	checked := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			words := f.Annotations["resslt-choices"]
			if words == nil {
				return
			}
			checked++
			verb := strings.Fields(c.CommandPath())[1:]
			got, _ := completed(t, strings.Join(append(slices.Clone(verb), "--"+f.Name, ""), " "))
			if !slices.Equal(got, words) {
				t.Errorf("%s --%s completes %q, want %q", c.CommandPath(), f.Name, got, words)
			}
			if len(verb) == 0 {
				verb = []string{"version"}
			}
			slip := "x" + words[0]
			err := execute(t, append(verb, "--"+f.Name, slip)...)
			if why := errstest.Differs(err, errs.ErrUsage, "--"+f.Name, slip, "did you mean "+words[0]+"?"); why != "" {
				t.Errorf("%s --%s: %s", c.CommandPath(), f.Name, why)
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	if checked < 30 {
		t.Errorf("%d flags were checked", checked)
	}
	keys := 0
	for _, key := range recipe.Keys() {
		words := recipe.Choices(key)
		if words == nil {
			continue
		}
		keys++
		got, _ := completed(t, "run --set "+key+"=")
		for _, w := range words {
			if w != "" && !slices.Contains(got, key+"="+w) {
				t.Errorf("%s completes %q, without %s", key, got, w)
			}
		}
		slip := words[len(words)-1] + "x"
		given := key + "=" + slip
		if key == "eval" {
			given = key + "=[" + slip + "]"
		}
		err := execute(t, "recipe", "check", "smoke", "--set", given)
		if why := errstest.Differs(err, errs.ErrUsage, key); why != "" || words[0] != "true" && !strings.Contains(err.Error(), "did you mean ") {
			t.Errorf("%s=%s: %v", key, slip, err)
		}
	}
	if keys < 15 {
		t.Errorf("%d keys were checked", keys)
	}
}

// Slips in words of open lists are answered as well.
func TestSlips(t *testing.T) {
	dir := t.TempDir()
	for args, meant := range map[string]string{
		"rnu":                                               "run",
		"shards pakc":                                       "pack",
		"run --recpie smoke":                                "--recipe",
		"run --recipe smoek":                                "smoke",
		"sweep --file tabel1":                               "table1",
		"recipe check smoke --set epohcs=3":                 "epochs",
		"recipe check smoke --set policy=smal":              "small",
		"recipe check smoke --set engine=trubo":             "turbo",
		"recipe check smoke --set backbone=resnet81":        "resnet18",
		"recipe check smoke --set order=globla":             "global",
		"recipe check smoke --set objective=resls":          "ressl",
		"shards ls --data fodler:x":                         "folder",
		"shards ls --data cifar10:" + dir + " --split tets": "test",
		"shards ls --data stl10:" + dir + " --split tset":   "test",
		"runs --filter recpie=x .":                          "recipe",
		"inspect --data folder:x --policy imagnet":          "imagenet",
		"recipe check smoke --set engine=gitf":              "gift",
	} {
		if err := execute(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), "did you mean "+meant) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// What each verb's flags and arguments are completed to.
func TestCompletions(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, f := range []string{"runs/a/recipe.yaml", "runs/b/c/recipe.yaml", "pics/cat/1.jpg", "own.yaml", "e.safetensors", ".hidden/x"} {
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, f, nil)
	}
	const noFiles, noSpace = ":36", ":38" // directives: NoFileComp and KeepOrder, and NoSpace
	for line, c := range map[string]struct {
		has, not  []string
		directive string
	}{
		"ru":                                {[]string{"run", "runs"}, []string{"train"}, ""},
		"eval ":                             {[]string{"knn", "linear"}, nil, ""},
		"run --recipe ":                     {append(recipe.Names(), "own.yaml", "runs/"), []string{"e.safetensors", ".hidden/"}, ""},
		"run --data ":                       {schemeNames(), nil, ""},
		"run --data folder:":                {[]string{"folder:pics/", "folder:runs/", "folder:own.yaml"}, nil, noSpace},
		"run --data folder:pics/":           {[]string{"folder:pics/cat/"}, []string{"folder:own.yaml"}, noSpace},
		"run --set ":                        {[]string{"epochs=", "objective=", "m="}, nil, noSpace},
		"run --set objective=":              {prefixed("objective=", recipe.Objectives()), nil, noFiles},
		"run --set backbone=res":            {[]string{"backbone=resnet18"}, nil, noFiles},
		"run --set tf32=":                   {[]string{"tf32=true", "tf32=false"}, nil, noFiles},
		"run --set policy=":                 {prefixed("policy=", augment.Presets()), nil, ""},
		"run --set data=cif":                {[]string{"data=cifar10:"}, nil, noSpace},
		"run --set epochs=":                 {nil, []string{"own.yaml"}, noFiles},
		"sweep --grid optimizer=sgd,":       {[]string{"optimizer=sgd,lars"}, nil, noFiles},
		"sweep --file ":                     {recipe.SweepNames(), nil, ""},
		"run --record ":                     {[]string{"log", "pixels"}, nil, ""},
		"run --out r":                       {[]string{"runs/"}, []string{"own.yaml"}, noSpace},
		"run --log ":                        {[]string{"text", "json"}, nil, ""},
		"train --replay ":                   {[]string{"pixels:", "log:", "stream:", "runs/a", "runs/b/c"}, nil, ""},
		"train --replay log:":               {[]string{"log:runs/a"}, nil, ""},
		"train --storage ":                  {[]string{"memory", "file"}, nil, ""},
		"serve --policy ":                   {augment.Presets(), nil, ""},
		"serve --listen ":                   {[]string{"unix:", "tcp:127.0.0.1:"}, nil, noSpace},
		"embed --format ":                   {[]string{"npz", "parquet"}, nil, ""},
		"embed --checkpoint ":               {[]string{"runs/a", "e.safetensors"}, nil, ""},
		"eval knn --split ":                 {ingest.Splits(), nil, ""},
		"eval knn --backbone ":              {backbone.Names(), nil, ""},
		"eval neighbours --views weak,":     {[]string{"weak,strong"}, nil, ""},
		"shards pack --codec ":              {[]string{"dct"}, nil, ""},
		"bench augment --engine ":           {append(augment.EngineNames(), "gift"), nil, noFiles},
		"bench step --precision ":           {[]string{"fp32", "bf16"}, nil, ""},
		"runs --sort ":                      {sortKeys(), nil, ""},
		"runs --filter ":                    {[]string{"recipe=", "tag="}, nil, noSpace},
		"runs note ":                        {[]string{"runs/a", "runs/b/c"}, nil, ""},
		"compare runs/a ":                   {[]string{"runs/b/c"}, nil, ""},
		"report --out ":                     {[]string{"runs/a"}, nil, ""},
		"recipe show ":                      {recipe.Names(), nil, ""},
		"gc ":                               {[]string{"runs/", "pics/"}, []string{"own.yaml"}, noSpace},
		"farm gc --state ended,":            {[]string{"ended,asleep"}, nil, ""},
		"export --format ":                  {[]string{"timm", "detectron2"}, nil, ""},
		"completion ":                       {[]string{"bash", "zsh", "fish"}, nil, ""},
		"version ":                          {nil, []string{"own.yaml"}, ":4"},
		"train --nats nats://x --trainer a": {nil, []string{"own.yaml"}, ":4"},
	} {
		got, directive := completed(t, line)
		for _, w := range c.has {
			if !slices.Contains(got, w) {
				t.Errorf("%q completes %q, without %q", line, got, w)
			}
		}
		for _, w := range c.not {
			if slices.Contains(got, w) {
				t.Errorf("%q completes %q", line, w)
			}
		}
		if c.directive != "" && directive != c.directive {
			t.Errorf("%q: directive %s, want %s", line, directive, c.directive)
		}
	}
}

func schemeNames() (names []string) {
	for _, s := range ingest.Schemes() {
		names = append(names, s.Name+":")
	}
	return names
}

// The scripts for shells do what they are for, in the shells that are there: `completion --help`
// says how they are installed.
func TestShells(t *testing.T) {
	help := resslt(t, "completion", "--help")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if !strings.Contains(help.stdout, "completion "+shell+" >") {
			t.Errorf("completion --help does not say how to install it for %s", shell)
		}
	}
	for shell, script := range map[string]string{
		"bash": `set -e; . /usr/share/bash-completion/bash_completion; . <(resslt completion bash)
COMP_LINE='resslt runs --sort k' COMP_POINT=20 COMP_WORDS=(resslt runs --sort k) COMP_CWORD=3 COMP_TYPE=9; __start_resslt; echo "${COMPREPLY[@]}"
COMP_LINE='resslt run --data folder:pi' COMP_POINT=27 COMP_WORDS=(resslt run --data folder : pi) COMP_CWORD=5; __start_resslt; echo "${COMPREPLY[@]}"`,
		"fish": `resslt completion fish | source; complete -C 'resslt runs --sort k'; complete -C 'resslt run --data folder:pi'`,
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(err)
			}
			if _, err := os.Stat("/usr/share/bash-completion/bash_completion"); shell == "bash" && err != nil {
				t.Skip("the package bash-completion is not installed")
			}
			needPrograms(t)
			c := exec.CommandContext(t.Context(), path, "-c", script)
			c.Dir = t.TempDir()
			if err := os.Mkdir(filepath.Join(c.Dir, "pics"), 0o755); err != nil {
				t.Fatal(err)
			}
			c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+c.Dir)
			out, err := c.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "knn") || !strings.Contains(string(out), "pics/") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
