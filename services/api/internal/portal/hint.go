package portal

import "strings"

// hint is what there is to know about an address: the product, and what may be wrong.
type hint struct {
	Lead, Text string
	// IsWrong says that deliveries cannot go there.
	IsWrong bool
	// Plain says that it has no TLS.
	Plain bool
	// Twin is another webhook of the project that sends there.
	Twin *twin
}

type twin struct{ Name, Path string }

// hint says what there is to know about a URL of the webhook with this id; empty for a
// new one.
func (v *visit) hint(rawURL, own string) (hint, error) {
	found := productOf(rawURL)
	h := hint{Plain: strings.HasPrefix(strings.ToLower(rawURL), "http://"), IsWrong: found.IsPage}
	if found.Key != "" {
		h.Lead, h.Text = v.t("product.looks", "name", found.Name), v.t("product."+found.Key)
	}
	if found.IsPage {
		h.Lead = v.t("product.page", "name", found.Name)
	}
	if rawURL == "" {
		return h, nil
	}
	webhooks, err := v.api.webhooks()
	if err != nil {
		return hint{}, err
	}
	for _, w := range webhooks {
		if w.URL == rawURL && w.ID != own {
			h.Twin = &twin{Name: w.Name, Path: v.base() + "/" + w.ID}
		}
	}
	return h, nil
}

// suggest says what the URL of a form looks like while it is typed. It is a POST
// because a URL may hold a key, which belongs in no address.
func suggest(v *visit) error {
	typed := completeURL(v.field("url"))
	found, err := v.hint(typed, v.c.QueryParam("webhook"))
	if err != nil {
		return err
	}
	v.c.Response().Header().Set("Suggested-Format", string(productOf(typed).Format))
	return v.fragment("new", "hint", found)
}
