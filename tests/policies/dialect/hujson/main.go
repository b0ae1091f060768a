// Writes, for each line of standard input (a JSON string: a document), a line with
// what github.com/tailscale/hujson makes of it: {"in", "format", "standardize"}, or
// {"in", "error"} where it refuses the document.
package main

import (
	"encoding/json"
	"io"
	"log"
	"os"

	"github.com/tailscale/hujson"
)

type pair struct {
	In          string `json:"in"`
	Format      string `json:"format,omitempty"`
	Standardize string `json:"standardize,omitempty"`
	Error       string `json:"error,omitempty"`
}

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for {
		var found pair
		if err := in.Decode(&found.In); err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		format, err := hujson.Format([]byte(found.In))
		if err != nil {
			found.Error = err.Error()
		} else if standard, err := hujson.Standardize([]byte(found.In)); err != nil {
			log.Fatal(err)
		} else {
			found.Format, found.Standardize = string(format), string(standard)
		}
		if err := out.Encode(found); err != nil {
			log.Fatal(err)
		}
	}
}
