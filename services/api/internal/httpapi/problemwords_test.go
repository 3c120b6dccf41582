package httpapi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/words"
)

// Pages say in Dutch what the API says in English, and in English in words for people
// where it says it to developers: whatever sentence there is in the source of the API
// has its translation, and none is of a sentence that is gone.
func TestEveryProblemIsTranslated(t *testing.T) {
	var sentences []string
	for _, folder := range []string{".", "../registration", "../replay"} {
		files, err := filepath.Glob(folder + "/*.go")
		require.NoError(t, err)
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				sentences = append(sentences, sentencesOf(t, file)...)
			}
		}
	}
	require.Greater(t, len(sentences), 60)
	for _, sentence := range sentences {
		english := strings.ReplaceAll(sentence, "{}", "7")
		dutch := words.Problem(english, words.Dutch)
		assert.NotEqual(t, english, dutch, "there is no translation in pkg/words/problem.go")
		assert.NotContains(t, dutch, "{")
		assert.NotContains(t, words.Problem(english, words.English), "{")
	}
	for _, pattern := range words.ProblemPatterns() {
		like := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\{\}`, "(.+)") + "$")
		assert.True(t, slices.ContainsFunc(sentences, like.MatchString), "the API does not say: %s", pattern)
	}
}

// sentencesOf finds what a file says to callers, with {} for what differs.
func sentencesOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	var found []string
	add := func(of ast.Expr) {
		if text, _ := textOf(of); strings.Contains(strings.Trim(text, " {}"), " ") {
			found = append(found, text)
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			name, _ := n.Fun.(*ast.Ident)
			if method, _ := n.Fun.(*ast.SelectorExpr); method != nil && method.Sel.Name == "CancelReplay" {
				add(n.Args[len(n.Args)-1])
			}
			if name != nil && slices.Contains([]string{"answer", "away", "bounds", "bad", "missing", "keyFault"}, name.Name) {
				add(n.Args[len(n.Args)-1])
			}
		case *ast.KeyValueExpr:
			if name, _ := n.Key.(*ast.Ident); name != nil && name.Name == "Message" {
				add(n.Value)
			}
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				if field, _ := to.(*ast.SelectorExpr); field != nil && field.Sel.Name == "Message" && len(n.Rhs) == len(n.Lhs) {
					add(n.Rhs[i])
				}
			}
		case *ast.ReturnStmt: // of unknownEvent, which puts a sentence together
			for _, result := range n.Results {
				if text, isText := textOf(result); isText && strings.HasSuffix(text, ".") && strings.Contains(text, " ") &&
					strings.HasSuffix(file, "registration/fields.go") {
					found = append(found, text)
				}
			}
		}
		return true
	})
	return found
}

// textOf is a text put together in the source.
func textOf(e ast.Expr) (text string, isText bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return regexp.MustCompile(`%[a-z]`).ReplaceAllString(text, "{}"), err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, isLeft := textOf(e.X)
		right, isRight := textOf(e.Y)
		return strings.ReplaceAll(left+right, "{}{}", "{}"), isLeft || isRight
	case *ast.CallExpr:
		if f, _ := e.Fun.(*ast.SelectorExpr); f != nil && f.Sel.Name == "Sprintf" {
			return textOf(e.Args[0])
		}
	}
	return "{}", false
}
