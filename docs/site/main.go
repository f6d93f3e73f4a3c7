package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("give stage DIR or finish DIR")
	}
	switch args[0] {
	case "stage":
		return stage(".", args[1])
	case "finish":
		if err := ownShim(args[1]); err != nil {
			return err
		}
		broken, err := check(args[1])
		if err != nil {
			return err
		}
		for _, b := range broken {
			fmt.Fprintln(os.Stderr, b)
		}
		if len(broken) > 0 {
			return fmt.Errorf("%s: %d faults", args[1], len(broken))
		}
		return nil
	}
	return fmt.Errorf("%s is neither stage nor finish", args[0])
}
