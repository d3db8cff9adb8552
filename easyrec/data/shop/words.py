"""Words of the shop: brands, adjectives, tags; English first, then Chinese."""

from __future__ import annotations

# 13 ** 3 = 2,197 combinations, enough for 2,000 brands.
_SYLLABLES = (
    ("nor", "诺"), ("li", "丽"), ("ka", "卡"), ("ven", "文"), ("to", "拓"), ("mi", "米"), ("su", "苏"),
    ("ra", "瑞"), ("bel", "贝"), ("do", "多"), ("fi", "菲"), ("han", "汉"), ("ze", "泽"),
)  # fmt: skip

ADJECTIVES = (
    ("light", "轻便"), ("classic", "经典"), ("premium", "高级"), ("portable", "便携"), ("soft", "柔软"),
    ("durable", "耐用"), ("modern", "现代"), ("natural", "天然"), ("compact", "小巧"), ("large", "大号"),
    ("elegant", "优雅"), ("practical", "实用"), ("colourful", "多彩"), ("simple", "简约"), ("warm", "温暖"),
    ("quiet", "静音"), ("professional", "专业"), ("handmade", "手工"), ("organic", "有机"), ("new style", "新款"),
)  # fmt: skip

# Tags tied to a time of day (their clicks follow the hour), and tags that are not.
MOMENT_TAGS = ("early-bird", "breakfast", "lunch", "office", "dinner", "family-evening", "late-night", "party")
STYLE_TAGS = (
    "gift", "eco", "imported", "local", "limited", "bestseller", "student", "family", "minimal", "retro", "cute",
    "luxury", "bundle", "refill", "travel", "seasonal", "handpicked", "award", "vegan", "recycled", "flagship",
    "starter", "outlet", "trend", "collab", "warranty", "express", "members", "preorder",
)  # fmt: skip
CLICKBAIT_TAG = "hot-deal"

TAGS = (*MOMENT_TAGS, *STYLE_TAGS, CLICKBAIT_TAG)


def brand_name(brand: int) -> tuple[str, str]:
    """English and Chinese name of brand 0..2196; all names differ."""
    number = brand * 1009 % 2197  # 1009 and 13 share no factor, so neighbours get unlike names
    parts = [_SYLLABLES[number // 169], _SYLLABLES[number // 13 % 13], _SYLLABLES[number % 13]]
    return "".join(part[0] for part in parts).capitalize(), "".join(part[1] for part in parts)
