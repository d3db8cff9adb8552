"""Documents whose content is known: their words, headings, lists, tables and footnotes."""

# ruff: noqa: S311 (documents are no secrets)
from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from rag.document import Block, Bullets, Heading, Paragraph, Table

WORDS = """time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work government number night point home water room mother area money story fact
month lot right study book eye job word business issue side kind head house service friend father power hour game line end member
law car city community name president team minute idea body information back parent face others level office door health person
art war history party result change morning reason research girl guy moment air teacher force education customer warehouse refund
parcel invoice supplier voucher contract schedule budget quarter revenue approval manager holiday insurance equipment delivery
returns after before during within without between against through because although whenever takes gives keeps shows needs
follows reaches allows requires describes includes new good first last long great little own other old right big high different
small large next early young important few public bad same able quickly often usually never always sometimes together""".split()  # noqa: SIM905 (easier to read)
PHRASES = """公司 员工 每年 需要 提前 申请 假期 经理 批准 客户 退款 五个工作日 之内 到账 仓库 检查 包裹 订单 合同 供应商 发票 金额 超过
部门 负责 审核 预算 季度 收入 增长 利润 市场 研究 技术 产品 质量 管理 系统 数据 安全 规定 办法 根据 按照 如果 但是 因为 所以 可以 应当
不得 必须 及时 通知 财务 人员 培训 考核 结果 公布 设备 维护 保养 定期 进行 记录 保存 三年 以上 出差 费用 报销 标准 国内 国外 城市 交通
住宿 会议 讨论 决定 实施 计划 项目 目标 完成 时间 地点 参加 组织 学习 提高 水平 服务 态度 热情 周到""".split()  # noqa: SIM905 (as above)
CHINESE_FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")


@dataclass
class Truth:
    """A document.

    Attributes:
        blocks: Its blocks, without places.
        notes: Footnotes by the block that they belong to.
    """

    blocks: list[Block] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)


def sentence(rng: random.Random, chinese: bool) -> str:
    if chinese:
        parts = ["".join(rng.choices(PHRASES, k=rng.randint(3, 6))) for _ in range(rng.randint(1, 3))]
        return "，".join(parts) + "。"
    words = rng.choices(WORDS, k=rng.randint(6, 16))
    if rng.random() < 0.3:
        words[rng.randrange(len(words))] = rng.choice(
            [
                f"{rng.randint(2, 999)}",
                f"{rng.randint(1, 99)}.{rng.randint(10, 99)}",
                f"{rng.randint(2, 90)}%",
                "e-mail",
            ]
        )
    if rng.random() < 0.3:
        words[rng.randrange(len(words) - 1)] += ","
    text = " ".join(words)
    return text[0].upper() + text[1:] + "."


def paragraph(rng: random.Random, chinese: bool, least: int = 2, most: int = 6) -> str:
    return ("" if chinese else " ").join(sentence(rng, chinese) for _ in range(rng.randint(least, most)))


def title(rng: random.Random, chinese: bool) -> str:
    if chinese:
        return "".join(rng.choices(PHRASES, k=rng.randint(2, 4)))
    words = rng.choices(WORDS, k=rng.randint(1, 4))
    return " ".join(words).capitalize()


def cell(rng: random.Random, chinese: bool, column: int, longest: int = 18) -> str:
    if column == 0:
        return title(rng, chinese)[: longest // 2 if chinese else longest].strip()
    kind = rng.randrange(4)
    if kind == 0:
        return f"{rng.randint(0, 99_999):,}"
    if kind == 1:
        return f"{rng.uniform(0, 999):.2f}"
    if kind == 2:
        return f"{2000 + rng.randint(0, 30)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return rng.choice(PHRASES if chinese else WORDS)


def table(rng: random.Random, chinese: bool, rows: int, merged: bool, most: int = 5) -> Table:
    """A table; a merged one has a group above two columns, and a first column that goes over rows."""
    columns = rng.randint(3, most)
    longest = 18 if most > 3 else 10
    names = [title(rng, chinese)[: 6 if chinese else min(longest, 12)].strip() for _ in range(columns)]
    body = [[cell(rng, chinese, column, longest) for column in range(columns)] for _ in range(rows)]
    if not merged:
        return Table((tuple(names), *map(tuple, body)), 1)
    first = [names[0], names[1], names[1], *names[3:]]
    second = [names[0], cell(rng, chinese, 0, longest), cell(rng, chinese, 0, longest), *names[3:]]
    for row in range(1, rows, 3):
        body[row][0] = body[row - 1][0]
    return Table((tuple(first), tuple(second), *map(tuple, body)), 2)


def document(
    seed: int,
    *,
    chinese: bool,
    sections: int = 4,
    notes: bool = True,
    long_table: int = 60,
    most: int = 5,
    least: int = 2,
) -> Truth:
    """A document with three levels of headings, lists, tables and footnotes."""
    rng = random.Random(seed)

    def prose() -> Paragraph:
        return Paragraph(paragraph(rng, chinese, least, least + 4))

    truth = Truth([Heading(title(rng, chinese), 1), prose()])
    for number in range(sections):
        truth.blocks.append(Heading(title(rng, chinese), 2))
        for part in range(rng.randint(1, 2)):
            if part or rng.random() < 0.6:
                truth.blocks += [prose(), Heading(title(rng, chinese), 3)]
            truth.blocks += [prose() for _ in range(rng.randint(1, 3))]
            if notes and rng.random() < 0.5:
                truth.notes[len(truth.blocks) - 1] = sentence(rng, chinese)
        kind = number % 4
        if kind == 0:
            truth.blocks.append(table(rng, chinese, rng.randint(4, 8), True, most))
        elif kind == 1:
            items = tuple((0, sentence(rng, chinese)) for _ in range(rng.randint(2, 5)))
            truth.blocks.append(Bullets(items))
        elif kind == 2 and long_table:
            truth.blocks.append(table(rng, chinese, long_table, False, most))
        elif kind == 3:
            truth.blocks.append(table(rng, chinese, rng.randint(4, 8), False, most))
        truth.blocks.append(prose())
    return truth


def spans_of(rows: tuple[tuple[str, ...], ...], header: int) -> list[tuple[int, int, int, int]]:
    """Merged cells of a table as `document` makes them: top, left, bottom, right."""
    if header < 2:
        return []
    found = [(0, 1, 0, 2), *((0, column, 1, column) for column in range(len(rows[0])) if column not in (1, 2))]
    return found + [
        (row - 1, 0, row, 0)
        for row in range(header + 1, len(rows))
        if (row - header) % 3 == 1 and rows[row][0] == rows[row - 1][0]
    ]
