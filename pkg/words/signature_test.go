package words_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/dembrane/webhooks/pkg/words"
)

// Every sentence of package diagnose has its Dutch.
func TestEverySentenceAboutASignatureIsTranslated(t *testing.T) {
	verb := regexp.MustCompile(`%[sd]`)
	count := 0
	for _, file := range []string{"finding.go", "header.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), "../signature/diagnose/"+file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(node ast.Node) bool {
			text, isText := constant(node)
			// What the receiver's own code computed is for the command line.
			if !isText || strings.HasPrefix(text, "What the receiver computed") || !regexp.MustCompile(`^[^ ]+ .*\.$`).MatchString(text) || isComputed(text) {
				return !isText
			}
			count++
			english := verb.ReplaceAllString(text, "X")
			assert.NotEqual(t, english, Signature(english, Dutch), file)
			return false
		})
	}
	assert.Greater(t, count, 60)
}

// isComputed says that a sentence is advice about the receiver's own code.
func isComputed(text string) bool {
	return text == "Compare it with that header." || strings.HasPrefix(text, "Print the length of the body")
}

// constant is a text, also one that is written in parts.
func constant(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.BasicLit:
		if n.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(n.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, isText := constant(n.X)
		right, isBoth := constant(n.Y)
		return left + right, isText && isBoth
	default:
		return "", false
	}
}

func TestWhatASentenceIsFilledWithIsTranslated(t *testing.T) {
	assert.Equal(t, "De inhoud is gelezen en opnieuw geschreven: er staan spaties tussen de delen; schuine strepen staan er als \\/.",
		Signature(`The body was parsed and written anew: there are blanks between its parts; slashes are escaped as \/.`, Dutch))
	assert.Equal(t, "Het tijdstip van ondertekenen is 2026-01-20T12:00:00Z, 3 dagen voor het moment van controle; de bibliotheken aanvaarden hooguit 5 minuten.",
		Signature("It was signed at 2026-01-20T12:00:00Z, which is 3 days before the time it is checked at; the libraries take up to 5 minutes.", Dutch))
	assert.Equal(t, "X-Dembrane-Signature is in hoofdletters en wordt in kleine letters verzonden.",
		Signature("X-Dembrane-Signature is in capitals, and it is sent in lower case.", Dutch))
	assert.Equal(t, "The body is empty.", Signature("The body is empty.", English))
	assert.Equal(t, "Nobody says that.", Signature("Nobody says that.", Dutch))
}
