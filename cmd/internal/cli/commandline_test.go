package cli

import "testing"

func TestCommandLineHidesSecrets(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"resslt", "run", "--recipe", "smoke"}, "resslt run --recipe smoke"},
		{[]string{"resslt", "train", "--token", "abc", "--run", "x"}, "resslt train --token *** --run x"},
		{[]string{"resslt", "train", "--token=abc"}, "resslt train --token=***"},
		{[]string{"resslt", "train", "--token-file", "t"}, "resslt train --token-file t"},
		{[]string{"resslt", "train", "--nats", "nats://me:secret@host:4222"}, "resslt train --nats nats://***@host:4222"},
		{[]string{"resslt", "train", "--nats=tls://tok@host"}, "resslt train --nats=tls://***@host"},
		{[]string{"resslt", "run", "--data", "wds:https://u:p@host/x.tar"}, "resslt run --data wds:https://***@host/x.tar"},
		{[]string{"resslt", "run", "--data", "folder:my photos", "--set", "a=it's"}, `resslt run --data 'folder:my photos' --set 'a=it'\''s'`},
		{[]string{"resslt", "run", "--data", "wds:a*.tar"}, "resslt run --data 'wds:a*.tar'"},
		{[]string{"resslt", "run", "--out", ""}, "resslt run --out ''"},
	} {
		if got := CommandLine(c.args); got != c.want {
			t.Errorf("%q: %s, want %s", c.args, got, c.want)
		}
	}
}
