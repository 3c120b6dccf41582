package command

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/dembrane/webhooks/cli/internal/config"
	"github.com/dembrane/webhooks/pkg/signature/diagnose"
)

type verifying struct {
	*program

	body, headers, request, secretFile, secret, at, computed string
	lines                                                    []string
	tolerance                                                time.Duration
}

func (p *program) verify() *cobra.Command {
	v := &verifying{program: p}
	c := &cobra.Command{
		Use:   "verify",
		Short: "Say whether a delivery's signature is right, and if not, why",
		Long: `Say whether a delivery's signature is right, and if not, why: a line break too much,
JSON that was written anew, another secret, a header in another writing, an old
delivery, and what else receivers usually get wrong.

The secret comes from --secret-file, DEMBRANE_SECRET or --secret. Save the body as the
bytes that arrived, before anything parses them.`,
		Example: `  dembrane-webhooks verify --headers headers.txt --body body.json --secret-file secret.txt
  # one header is enough
  dembrane-webhooks verify -H "X-Dembrane-Signature: 9f86d0..." --body body.json --secret-file secret.txt
  # a whole request, as a proxy or "nc -l" shows it
  dembrane-webhooks verify --request request.txt --secret-file secret.txt
  # what is it that my own code computes?
  dembrane-webhooks verify --request request.txt --secret-file secret.txt --computed 5d41402a...`,
		Args: arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			in, err := v.input()
			if err != nil {
				return err
			}
			report := diagnose.Check(in)
			if err := p.showValue(c, report, func(w io.Writer) { v.words(w, report) }); err != nil {
				return err
			}
			if !report.Verified {
				return negative()
			}
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVar(&v.body, "body", "", "the file with the body; - is standard input")
	flags.StringVar(&v.headers, "headers", "", "the file with the headers: lines, JSON, or as curl or CGI has them")
	flags.StringArrayVarP(&v.lines, "header", "H", nil, "a header, as in \"webhook-id: evt_1\"; may be repeated")
	flags.StringVar(&v.request, "request", "", "the file with a whole request: headers, an empty line, the body")
	flags.StringVar(&v.secretFile, "secret-file", "", "the file with the webhook's secret")
	flags.StringVar(&v.secret, "secret", "", "the secret itself; only for one that nobody needs to keep")
	flags.StringVar(&v.at, "at", "", "the time at which its age counts (default now)")
	flags.DurationVar(&v.tolerance, "tolerance", 5*time.Minute, "how old a delivery may be")
	flags.StringVar(&v.computed, "computed", "", "the signature that your own code computes, to find out of what it is")
	return c
}

func (v *verifying) input() (in diagnose.Input, err error) {
	in = diagnose.Input{Header: http.Header{}, Now: time.Now(), Tolerance: v.tolerance, Computed: v.computed}
	if v.at != "" {
		if in.Now, err = moment(v.at, in.Now); err != nil {
			return in, err
		}
	}
	if in.Secret = v.secret; in.Secret == "" {
		in.Secret = v.Environment["DEMBRANE_SECRET"]
	}
	if v.secretFile != "" {
		if in.Secret, err = config.Secret(v.secretFile, v.In); err != nil {
			return in, usage("read --secret-file: %w", err)
		}
	}
	switch {
	case in.Secret == "":
		return in, usage("there is no secret: give --secret-file, or set DEMBRANE_SECRET")
	case v.request != "" && v.body != "":
		return in, usage("--request has the body in it: leave --body out")
	case v.request == "" && v.body == "":
		return in, usage("there is no body: give --body or --request")
	}
	var texts []string
	if v.request != "" {
		whole, err := config.LargeFile(v.request, v.In)
		if err != nil {
			return in, usage("read --request: %w", err)
		}
		head, body, err := cutRequest(whole)
		if err != nil {
			return in, err
		}
		texts, in.Body = append(texts, head), body
	} else if in.Body, err = config.LargeFile(v.body, v.In); err != nil {
		return in, usage("read --body: %w", err)
	}
	if v.headers != "" {
		text, err := config.File(v.headers, v.In)
		if err != nil {
			return in, usage("read --headers: %w", err)
		}
		texts = append(texts, string(text))
	}
	return in, addHeaders(in.Header, append(texts, v.lines...))
}

func addHeaders(all http.Header, texts []string) error {
	if len(texts) == 0 {
		return usage("there are no headers: give --headers, -H or --request")
	}
	for _, text := range texts {
		parsed, err := diagnose.ParseHeader(text)
		if err != nil {
			return usage("read the headers: %w", err)
		}
		for name, values := range parsed {
			all[name] = append(all[name], values...)
		}
	}
	return nil
}

// cutRequest takes a request apart at its first empty line.
func cutRequest(whole []byte) (head string, body []byte, _ error) {
	for _, line := range []string{"\r\n\r\n", "\n\n"} {
		if before, after, found := bytes.Cut(whole, []byte(line)); found {
			return string(before), after, nil
		}
	}
	return "", nil, usage("--request has no empty line between headers and body")
}

func (v *verifying) words(w io.Writer, report diagnose.Report) {
	for _, scheme := range report.Schemes {
		mark, c := "✗", red
		switch scheme.State {
		case diagnose.Matches:
			mark, c = "✓", green
		case diagnose.Missing:
			mark, c = "–", dim
		case diagnose.Old, diagnose.Early:
			mark, c = "!", yellow
		case diagnose.Differs, diagnose.Malformed:
		}
		say(w, "%s %-21s %s", v.paint(c, mark), scheme.Header, scheme.Message)
	}
	say(w, "")
	if report.Verified {
		say(w, "%s", v.paint(green, "It verifies."))
	} else {
		say(w, "%s", v.paint(red, "It does not verify."))
	}
	for _, finding := range report.Findings {
		say(w, "\n%s", finding.Message)
		if finding.Advice != "" {
			say(w, "  %s", fmt.Sprint("→ ", finding.Advice))
		}
	}
}
