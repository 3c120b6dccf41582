package registry_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHide(t *testing.T) {
	w := withHeaders(t, "Authorization", `Bearer a/b+c="<q>" ключ`, "X-Api-Key", "hunter2", "X-Short", "abc", "X-Longer", "hunter2-and-more")
	for given, want := range map[string]string{
		"nothing of it":                                         "nothing of it",
		"key hunter2 and hunter2.":                              "key *** and ***.",
		"hunter2-and-more":                                      "***",
		"an abc of it":                                          "an abc of it",
		`Bearer a/b+c="<q>" ключ`:                               "***",
		`token a/b+c="<q>" ключ is invalid`:                     "token *** is invalid",
		`{"h":"Bearer a/b+c=\"<q>\" ключ"}`:                     `{"h":"***"}`,
		`{"h":"a/b+c=\"\u003cq\u003e\" ключ"}`:                  `{"h":"***"}`,
		"?t=a%2Fb%2Bc%3D%22%3Cq%3E%22+%D0%BA%D0%BB%D1%8E%D1%87": "?t=***",
		"<b>a/b+c=&#34;&lt;q&gt;&#34; ключ</b>":                 "<b>***</b>",
		"?t=a%2fb%2bc%3d%22%3cq%3e%22+%d0%ba%d0%bb%d1%8e%d1%87": "?t=***",
		`{"h":"a\/b+c=\"<q>\" \u043a\u043b\u044e\u0447"}`:       `{"h":"***"}`,
	} {
		assert.Equal(t, want, w.Hide(given), given)
	}
}

// A test of its own, because these letters tell nobody that a key is in them.
func TestHideBase64(t *testing.T) {
	w := withHeaders(t, "Authorization", "Bearer s3cr3t-?>~~ÿ", "X-Key", "hunter2hunter2", "Proxy-Authorization", "Basic Ym9iOm9wZW4gc2VzYW1l", "X-Short", "abc")
	for _, value := range []string{"Bearer s3cr3t-?>~~ÿ", "s3cr3t-?>~~ÿ", "hunter2hunter2", "Basic Ym9iOm9wZW4gc2VzYW1l", "Ym9iOm9wZW4gc2VzYW1l", "bob:open sesame", "open sesame"} {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := encoding.EncodeToString([]byte(value))
			assert.Equal(t, "echo ***.", w.Hide("echo "+encoded+"."), value)
			for before := range 4 {
				around := encoding.EncodeToString([]byte("{:::"[:before] + value + `"}`))
				shown := w.Hide(around)
				assert.Contains(t, shown, "***", "%q after %d", value, before)
				assert.LessOrEqual(t, len(shown), len("***")+10, "%q after %d leaves %s", value, before, shown)
			}
		}
	}
	assert.Equal(t, "user bob, password ***", w.Hide("user bob, password open sesame"))
	assert.Equal(t, "YWJj", w.Hide("YWJj"), "too short to be a secret, and a part of many words")
	assert.Equal(t, "echo ***", w.HideInCut("echo "+base64.StdEncoding.EncodeToString([]byte("hunter2hunter2"))[:9]))
}

// An answer is 16 KiB at most, and a webhook has eight headers at most.
func BenchmarkHide(b *testing.B) {
	var list []string
	for i := range 8 {
		list = append(list, fmt.Sprintf("X-Key-%d", i), fmt.Sprintf("Bearer %d%s", i, strings.Repeat("k/", 500)))
	}
	w := withHeaders(b, list...)
	text := strings.Repeat(`{"key": "a kind of answer"}`, 16<<10/27)
	for b.Loop() {
		_ = w.HideInCut(text)
	}
}

// What was cut off in the middle of a value shows nothing of it either.
func TestHideTheBeginningOfAValueAtTheEnd(t *testing.T) {
	w := withHeaders(t, "X-Api-Key", "0123456789")
	for n := range 10 {
		text := "echo " + "0123456789"[:n]
		want := text
		if n >= 4 {
			want = "echo ***"
		}
		assert.Equal(t, want, w.HideInCut(text))
		assert.Equal(t, text, w.Hide(text), "it was not cut")
	}
	assert.Equal(t, "***", w.HideInCut("0123456789"))
	assert.Equal(t, "***", w.HideInCut("01234"))
	assert.Empty(t, w.HideInCut(""))
}
