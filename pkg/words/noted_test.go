package words_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/dembrane/webhooks/pkg/words"
)

func TestNotedSaysWhatTheTableHasAndNothingElse(t *testing.T) {
	const detail = "The receiver answered 500 Internal Server Error. The headers of the response are not valid HTTP or are too large; its status counts. " +
		"A connection that had been kept was of no use any more, so the request was sent once more over a new one."
	assert.Equal(t, "The headers of the response are not valid HTTP or are too large; its status counts. "+
		"A connection that had been kept was of no use any more, so the request was sent once more over a new one.", Noted(detail, English))
	assert.Equal(t, "De headers van het antwoord zijn geen geldige HTTP of zijn te groot; de status ervan telt. "+
		"Een verbinding die openstond, was onbruikbaar geworden; daarom is het verzoek nog een keer verstuurd, over een nieuwe.", Noted(detail, Dutch))
	assert.Equal(t, "De ontvanger nam niet binnen 10s een verbinding aan.", Noted("The receiver did not accept a connection within 10s.", Dutch))
	for _, nothing := range []string{"", "Teams accepted the message; it does not tell whether it was posted.", "The receiver answered 404 Not Found: no_service."} {
		assert.Empty(t, Noted(nothing, English))
		assert.Empty(t, Noted(nothing, Dutch))
	}
}

// Whatever sentence the client that sends deliveries notes is in the table, so that
// no page says "no answer" where it is known why.
func TestEveryNoteIsTranslated(t *testing.T) {
	files, err := filepath.Glob("../egress/*.go")
	require.NoError(t, err)
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			expression, isExpression := n.(ast.Expr)
			text, isText := "", false
			if isExpression {
				text, isText = sentence(expression)
			}
			if !isText {
				return true
			}
			// A sentence begins so; what else there is are texts for logs and for tools.
			if strings.HasPrefix(text, "The ") || strings.HasPrefix(text, "A connection") {
				seen++
				if !strings.HasSuffix(text, ".") {
					text += "7." // it goes on with a value that is known then
				}
				english, dutch := Noted(text, English), Noted(text, Dutch)
				assert.Equal(t, text, english, "there is no row in noted.go")
				assert.NotEqual(t, english, dutch)
				assert.NotContains(t, dutch, "{")
			}
			return false
		})
	}
	assert.Greater(t, seen, 30)
}

// sentence is a text put together in the source, with 7 for what differs.
func sentence(e ast.Expr) (text string, isText bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, isLeft := sentence(e.X)
		right, isRight := sentence(e.Y)
		if !isLeft && !isRight {
			return "", false
		}
		return left + right, true
	case *ast.Ident: // what timeoutDetail and Post put together
		known := map[string]string{"within": " within 7.", "why": "there is none"}
		if text, isKnown := known[e.Name]; isKnown {
			return text, true
		}
	}
	return "7", false
}
