package main

import (
	"bytes"
	_ "embed" // the script
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
)

// converter is the script that reads PyTorch's pickles, which only Python does.
//
//go:embed convert.py
var converter string

func newConvertCommand() *cobra.Command {
	var python, prefix string
	var trust, script bool
	c := &cobra.Command{
		Use:   "convert CHECKPOINT ENCODER.safetensors",
		Short: "the encoder of a PyTorch checkpoint (.pth, .pt, .ckpt, .bin), as safetensors",
		Long: `convert reads a PyTorch checkpoint of another project with PyTorch's own reader, in
a Python that has it, and writes its encoder under torchvision's keys: the student,
without heads, queues and optimisers. The file then is a --checkpoint.

It lets the file run no code of its own; some checkpoints need that (--trust), and one
should trust those.`,
		Example: `  resslt convert ressl-200.pth ressl.safetensors
  resslt convert --python venv/bin/python dino_full.pth dino.safetensors --trust
  resslt convert --script > convert.py   # where PyTorch is on another machine`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if script {
				fmt.Fprint(c.OutOrStdout(), converter)
				return nil
			}
			if len(args) != 2 {
				return errs.New("", c.CommandPath(), "name the checkpoint and the file to write", errs.Because(errs.ErrUsage, "it takes two files"))
			}
			if kind := sniff.File(args[0]); kind.Name == "a safetensors file" {
				return errs.New("convert", args[0], "give it to --checkpoint as it is", errs.Because(errs.ErrUsage, "it is "+kind.Name))
			}
			if err := checkConversion(args[0], args[1]); err != nil {
				return err
			}
			if trust {
				args = append(args, "--trust")
			}
			if prefix != "" {
				args = append(args, "--prefix="+prefix)
			}
			return convert(c, python, args)
		},
	}
	p := c.Flags()
	p.StringVar(&python, "python", "python3", "`program`: a Python with PyTorch 1.13 or newer")
	p.StringVar(&prefix, "prefix", "", "keys of the encoder begin with this `text`, where several fit")
	p.BoolVar(&trust, "trust", false, "let the checkpoint run code of its own")
	p.BoolVar(&script, "script", false, "print the Python script that does it")
	return c
}

// checkConversion refuses an input that is no file, and an output that is the input or
// can be no file: the encoder is a part of what the checkpoint holds.
func checkConversion(from, to string) error {
	in, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.New("convert", from, "name an existing file", errs.ErrNotFound)
	}
	if err != nil {
		return errs.New("convert", from, "see who may read it", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if kind := sniff.Irregular(from); kind.Name != "" {
		return errs.New("convert", from, kind.Hint, errs.Because(errs.ErrUsage, "it is "+kind.Name))
	}
	if out, err := os.Stat(to); err == nil && os.SameFile(in, out) {
		return errs.New("convert", to, "name another file to write", errs.Because(errs.ErrUsage, "it is the checkpoint itself"))
	}
	return durable.Check(to)
}

// convert runs the script.
func convert(c *cobra.Command, python string, args []string) error {
	if err := exec.CommandContext(c.Context(), python, "-c", "import torch").Run(); err != nil {
		if c.Context().Err() != nil {
			return c.Context().Err()
		}
		return errs.New("convert", args[0], "name one that has it with --python, or `pip install torch`, or convert elsewhere with `resslt convert --script`",
			errs.BecauseErr(errs.ErrUnavailable, fmt.Errorf("%s has no PyTorch (%w)", python, err)))
	}
	run := exec.CommandContext(c.Context(), python, append([]string{"-"}, args...)...)
	var said bytes.Buffer
	run.Stdin, run.Stdout, run.Stderr = strings.NewReader(converter), c.OutOrStdout(), &said
	err := run.Run()
	if c.Context().Err() != nil {
		return c.Context().Err()
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return errs.New("convert", args[0], "docs/weights.md has the layouts that are known", errs.Because(errs.ErrUnsupported, lines[len(lines)-1]))
	}
	return nil
}
